"""What enrollments tell billing, handed to the feature that their way of payment concerns."""
