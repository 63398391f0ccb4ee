"""What bytes are: their type, and the encoding that data URLs have."""
