"""TFX's components by their names, over `ssrec_tf`, run in this process or on Kubeflow."""
