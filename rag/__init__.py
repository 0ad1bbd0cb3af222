"""Kotae's library: Japanese notes in, cited passages and answers out."""
