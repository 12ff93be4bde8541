"""What is painted on a synthetic face: eyes, brows, nose, mouth, folds, skin and hair."""
