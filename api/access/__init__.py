"""Who is let in: API keys, the page's sessions, the names and origins the service answers to."""
