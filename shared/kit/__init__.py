"""The technical kit of Tandem's services. It knows how, never what: no business word stands here."""
