"""The console: a page on which people upload pictures, find them and ask a model about them.

``static/`` is the page as browsers get it; nothing builds it. ``site`` answers requests for it.
"""
