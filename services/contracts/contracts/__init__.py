"""Contracts: partners, their people's access, and customer organisations."""
