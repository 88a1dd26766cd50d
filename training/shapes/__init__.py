"""Training of the bundled model: autoencoder, classifier, then text encoder and transformer."""
