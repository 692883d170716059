"""Registry of the named datasets: their files, digests, mirrors and class names.

It belongs to `config` because the names are the vocabulary of the key ``dataset``; `datasets` gets and reads the files.
To add a dataset, add its `DatasetInfo` to `_INFOS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

SAMPLE = "sample"
"""Name of the dataset that is part of the package."""

STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""Names of a dataset's four files without ``.gz``: images and labels for training, then for test."""


class RemoteFile(NamedTuple):
    """A published file: its name, hexadecimal digests and, if known, its size in bytes."""

    name: str
    md5: str
    sha256: str
    size: int | None = None


class DatasetInfo(NamedTuple):
    """A published dataset of four gzipped IDX files, named as in `STEMS`.

    The name of a file is appended to the address of a mirror; mirrors are tried in their order. Plain http is safe,
    because every file is verified by its digests.
    """

    name: str
    title: str
    files: tuple[RemoteFile, ...]
    class_names: tuple[str, ...]
    licence: str
    attribution: str
    mirrors: tuple[str, ...]


def _files(*digests: tuple[str, str] | tuple[str, str, int]) -> tuple[RemoteFile, ...]:
    """Return the four files, from MD5, SHA-256 and, if known, size of each in the order of `STEMS`."""
    return tuple(RemoteFile(f"{stem}.gz", *digest) for stem, digest in zip(STEMS, digests, strict=True))


_INFOS = (
    DatasetInfo(
        name="mnist",
        title="MNIST",
        files=_files(
            (
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                9912422,
            ),
            (
                "d53e105ee54ea40749a09fcbcd1e9432",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                28881,
            ),
            (
                "9fb629c4189551a2d022fa330f9573f3",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                1648877,
            ),
            (
                "ec29112dd5afa0611ce80d1b7f02629c",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                4542,
            ),
        ),
        class_names=("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"),
        licence="CC BY-SA 3.0",
        attribution="Yann LeCun, Corinna Cortes, Christopher J.C. Burges",
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://yann.lecun.com/exdb/mnist/",
        ),
    ),
    DatasetInfo(
        name="fashion-mnist",
        title="Fashion-MNIST",
        files=_files(
            (
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            (
                "25c81989df183df01b3e8a0aad5dffbe",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            (
                "bef4ecab320f06d8554ea6380940ec79",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            (
                "bb300cfdad3c16e7a12a480ee83cd310",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        licence="MIT",
        attribution="Zalando SE",
        mirrors=(
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
    ),
    DatasetInfo(
        name="kmnist",
        title="KMNIST",
        files=_files(
            (
                "bdb82020997e1d708af4cf47b453dcf7",
                "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            ),
            (
                "e144d726b3acfaa3e44228e80efcd344",
                "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            ),
            (
                "5c965bf0a639b31b8f53240b1b52f4d7",
                "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            ),
            (
                "7320c461ea6c1c855c0b718fb2a4b134",
                "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
            ),
        ),
        class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        licence="CC BY-SA 4.0",
        attribution="ROIS-DS Center for Open Data in the Humanities (CODH)",
        mirrors=("https://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    ),
)

DATASETS: Mapping[str, DatasetInfo] = {info.name: info for info in _INFOS}
"""The published datasets by name."""

DATASET_NAMES: tuple[str, ...] = (SAMPLE, *DATASETS)
"""Names that the config key ``dataset`` accepts besides folders."""
