"""The demo world: rendered scenes of known truth, a website that shows them, and its crawl."""
