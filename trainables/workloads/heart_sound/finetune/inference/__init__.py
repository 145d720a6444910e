"""Parts of the prediction of new recordings: inputs, answers, patients, pictures, and files of the challenges."""
