"""What runs beside TensorFlow Serving: a client, a local stand-in for it, an infrastructure check.

It imports neither `ssrec_tf` nor `pipeline`: its contract is the SavedModel's signatures.
"""
