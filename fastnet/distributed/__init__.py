"""One network trained by several processes: the plan of what that costs, and the processes of MPI."""
