"""Inter in three static weights (latin), for statements that look the same everywhere; licence beside them."""
