"""Who computes: one folder for each library that runs networks."""
