"""Make the bucket for artifacts, unless it is there; its name is the argument."""

import os
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

WAIT_SECONDS = 110
ENDPOINT = os.environ["MLFLOW_S3_ENDPOINT_URL"]
TAKEN = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}
REFUSED = {"403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"}


def main(bucket: str) -> None:
    """Wait for the store, then look for the bucket, then make it."""
    options = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 1})
    store = boto3.client("s3", endpoint_url=ENDPOINT, config=options)
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            done = ensure(store, bucket)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in REFUSED:
                sys.exit(
                    f"the object store at {ENDPOINT} refuses these keys for bucket {bucket} ({code}): check accessKey "
                    "and secretKey in the Secret, and that they may use the bucket"
                )
            said = str(error)
        except BotoCoreError as error:
            said = str(error)
        else:
            print(done)
            return
        if time.monotonic() > deadline:
            sys.exit(f"the object store at {ENDPOINT} was not ready within {WAIT_SECONDS} s: {said}")
        print(f"waiting for the object store at {ENDPOINT}: {said}", flush=True)
        time.sleep(1)


def ensure(store: "boto3.client", bucket: str) -> str:
    """Return what was done."""
    try:
        store.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"404", "NoSuchBucket"}:
            raise
    else:
        return f"bucket {bucket} is there"
    region = store.meta.region_name
    # S3 wants to be told of every region but its first, which it refuses to be told of.
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        store.create_bucket(Bucket=bucket, **place)
    except ClientError as error:
        if error.response["Error"]["Code"] not in TAKEN:
            raise
    return f"made bucket {bucket}"


main(sys.argv[1])
