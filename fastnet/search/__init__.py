"""Search: train many networks and choose the best, at random, on a grid or by successive halving, with joblib."""
