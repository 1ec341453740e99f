import atexit
import gc
import os

# TensorFlow, Keras and MLflow are 400,000 objects that stay as long as the process. The garbage collector, which Python
# calls for every 700 new ones, goes through them again and again while they are imported, and once more at the end:
# that was a third of a short command (`pipelines.predict` of one text takes 5.2 instead of 7.4 s).
gc.set_threshold(10_000)
atexit.register(gc.freeze)

# Here, as MLflow reads them when it is imported: it reports its use to its makers unless told otherwise, prints the
# addresses of every run that ends and, if it finds tqdm, a bar for the files it copies, and a server that is away would
# hold each call for four minutes.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
