"""Images that the MLflow UI shows on a slider of steps, by the names of their files."""

from pathlib import Path

# The key of the images of weights; `MlflowClient.log_image` names its files in the same way.
KEY = "weights"

# The tag that lets the UI look for images of a run.
LOGGED_IMAGES = "mlflow.loggedImages"


def steps_of_images(folder: Path) -> set[int]:
    """Return the steps of the images of weights among the artifacts of a run.

    Parameters
    ----------
    folder
        The artifacts.
    """
    names = [path.name for path in (folder / "images").glob(f"{KEY}+step+*")]
    return {int(name.split("+")[2]) for name in names}
