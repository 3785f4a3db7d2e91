"""What a user of plain Keras writes to classify a folder: keras_predict.py MODEL FOLDER."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras

model = keras.models.load_model(sys.argv[1])
photos = keras.utils.image_dataset_from_directory(
    sys.argv[2], shuffle=False, image_size=(224, 224), batch_size=32, verbose=False
)
for path, second in zip(photos.file_paths, model.predict(photos, verbose=0)[:, 0], strict=True):
    print(f"{path}\t{second:.6f}")
