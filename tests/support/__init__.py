"""What tests share: networks, examples of each family, hands that move a real mouse."""
