"""What leaving before the regular end costs (CON-11)."""
