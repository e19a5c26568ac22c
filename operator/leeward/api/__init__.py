"""What people write and read: the models of the custom resources."""
