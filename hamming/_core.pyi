import numpy as np

class Tuning:
    tile_bytes: int
    buffer_extra: int
    block_bytes: int
    rows_queries: int
    work_per_thread: int
    sampled_k: int
    def __init__(
        self,
        *,
        tile_bytes: int,
        buffer_extra: int,
        block_bytes: int,
        rows_queries: int,
        work_per_thread: int,
        sampled_k: int,
    ) -> None: ...

def isas() -> list[tuple[str, bool]]: ...
def topk(
    isa: str,
    tuning: Tuning,
    threads: int,
    query_codes: np.ndarray,
    db_codes: np.ndarray,
    k: int,
    mask: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]: ...
def radius_search(
    isa: str,
    tuning: Tuning,
    threads: int,
    query_codes: np.ndarray,
    db_codes: np.ndarray,
    radius: int,
    mask: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...
def distance(
    isa: str, tuning: Tuning, threads: int, query_codes: np.ndarray, db_codes: np.ndarray
) -> np.ndarray: ...
def pack(
    isa: str,
    tuning: Tuning,
    threads: int,
    values: np.ndarray,
    thresholds: np.ndarray,
    big_endian_bits: bool,
    check_nan: bool,
) -> tuple[np.ndarray, int]: ...
def rescore(
    isa: str,
    tuning: Tuning,
    threads: int,
    queries: np.ndarray,
    db_codes: np.ndarray,
    candidates: np.ndarray,
    k: int,
    big_endian_bits: bool,
) -> tuple[np.ndarray, np.ndarray]: ...
