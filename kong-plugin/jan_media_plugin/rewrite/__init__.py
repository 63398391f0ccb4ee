"""Finding media ids in a JSON body and replacing them, leaving every other byte as it was."""
