import pytest
from support.moto import bucket_in, client, running


@pytest.fixture(scope="module")
def moto():
    with running() as address:
        yield address


@pytest.fixture
def s3(moto):
    made = client(moto)
    yield made
    made.close()


@pytest.fixture
def bucket(s3):
    return bucket_in(s3)
