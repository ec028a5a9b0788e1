"""Providers: one file per cloud, named nowhere else. ``contract`` says what such a file must offer."""
