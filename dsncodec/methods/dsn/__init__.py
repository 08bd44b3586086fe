"""The method "dsn": Down-SNet, Q-BReLU, a lossless carrier, Up-SNet (Cai et al., "Deep Sampling Networks", 2017)."""
