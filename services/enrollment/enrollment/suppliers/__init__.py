"""What a supplier gets of an enrollment: the mail and the page behind its link."""
