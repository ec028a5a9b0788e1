"""A plausible organisation and its months of usage: for trials, benchmarks and pictures, labelled as such on every row."""
