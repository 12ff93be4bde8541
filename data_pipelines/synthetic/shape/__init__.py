"""What a synthetic face is, before paint: its 3D shape, pose and look, drawn at random."""
