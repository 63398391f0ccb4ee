"""What bytes are: their type, and the encodings they arrive in."""
