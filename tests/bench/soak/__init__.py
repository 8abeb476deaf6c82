"""Hours of steady load, after which nothing may have grown."""
