"""How the shipped price files come to be, and what is wrong with price files: never used while serving."""
