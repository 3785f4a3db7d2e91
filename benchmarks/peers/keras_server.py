"""What people write to serve plain Keras: POST /predict with a file; keras_server.py MODEL PORT."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

model = keras.models.load_model(sys.argv[1])
size = model.input_shape[1:3]
app = FastAPI()


@app.post("/predict")
def predict(file: UploadFile) -> dict[str, float]:
    """The probability of the second class."""
    picture = Image.open(file.file).convert("RGB").resize(size)
    pixels = np.asarray(picture, dtype="float32")[np.newaxis]
    return {"second": float(model.predict(pixels, verbose=0)[0, 0])}


uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
