"""What is measured side by side: a script for each, run in an environment of its own."""
