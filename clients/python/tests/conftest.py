"""Fixtures: a model, pictures with the command's verdicts, servers and clients."""

import io

import pytest
from api import api  # noqa: F401  (a fixture)
from helpers import Server, judge, make_models
from PIL import Image


@pytest.fixture(scope="session")
def models():
    return make_models()


@pytest.fixture(scope="session")
def model(models):
    return models / "cloth" / "1"


@pytest.fixture(scope="session")
def good_folder(models):
    return models / "D" / "data" / "woven_cloth" / "train" / "good"


@pytest.fixture(scope="session")
def large(models, model):
    """The test pictures of the product."""
    return judge(model, sorted((models / "D" / "data" / "woven_cloth" / "test").glob("*/*.png")))


@pytest.fixture(scope="session")
def small(model, large, tmp_path_factory):
    """The centres of the same pictures. The server needs a few milliseconds for one."""
    folder, paths = tmp_path_factory.mktemp("small"), []
    for index, picture in enumerate(large):
        paths.append(folder / f"{index:03}.png")
        Image.open(io.BytesIO(picture.bytes)).convert("RGB").crop((80, 80, 176, 176)).save(paths[-1])
    return judge(model, paths)


@pytest.fixture
def serve(models, request):
    """Starts servers, and kills them at the end of the test."""
    servers = []

    def start(*arguments):
        server = Server(models, *arguments)
        servers.append(server)
        return server.start().loaded()

    yield start
    for server in servers:
        server.kill()
