"""Finds media ids in a JSON body and replaces them, leaving every other byte unchanged."""
