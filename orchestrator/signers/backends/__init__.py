"""Where keys are that do not lie in the keystore's own files: an HSM, a cloud, another machine."""
