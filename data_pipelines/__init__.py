"""From the official archives to prepared face frames, and from those to numpy batches. No JAX here."""
