"""Pictures in the form that a model takes: `fit` is what is asked, `steps` what is done."""
