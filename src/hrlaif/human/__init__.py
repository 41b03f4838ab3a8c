"""What do people say? The blind page: preferences, rankings, satisfaction and harmlessness."""
