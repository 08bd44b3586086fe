"""The method "coconet": one coordinate network, fitted to one picture; its quantised weights are the file."""
