"""What families share: facts from shapes, hyper-parameters, layers, losses, writing back."""
