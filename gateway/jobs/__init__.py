"""Jobs: what runs beside the requests, owned by the lifespan's task group."""
