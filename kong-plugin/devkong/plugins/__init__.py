"""The bundled plugins that devkong runs, each with the priority that it has in Kong."""
