"""Identity: who is calling. Key grammar, SigV4, the principal a key stands for."""
