"""What other services announced, kept here so that nobody is asked while answering."""
