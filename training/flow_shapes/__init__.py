"""Training of the bundled FLUX model: autoencoder, classifier, then text encoders and transformer."""
