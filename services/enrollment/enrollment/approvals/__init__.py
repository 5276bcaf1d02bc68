"""Who is asked to decide a request, and by which mail."""
