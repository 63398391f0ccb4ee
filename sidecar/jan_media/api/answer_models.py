"""What the bodies of answers are described by (`answers` makes them)."""

from typing import Any

from pydantic import BaseModel, Field

ID = "jan_01hqr8v9k2x3f4g5h6j7k8m9n0"
TIME = "2025-12-23T10:35:00Z"


class Uploaded(BaseModel):
    """An upload's outcome."""

    id: str = Field(examples=[ID])
    mime: str = Field(examples=["image/jpeg"], description="What the bytes say, not the client")
    bytes: int = Field(examples=[45678])
    deduped: bool = Field(description="Whether the same content was here before")
    presigned_url: str
    expires_at: str = Field(examples=[TIME], description="When the presigned URL expires")


class Info(BaseModel):
    """One media's metadata."""

    id: str = Field(examples=[ID])
    mime: str
    bytes: int
    created_at: str = Field(examples=[TIME])
    presigned_url: str
    url: str = Field(description="The same as presigned_url")
    expires_at: str = Field(examples=[TIME], description="When the presigned URL expires")


class Page(BaseModel):
    """A page of the caller's own media, newest first."""

    media: list[Info]
    next: str | None = Field(description="Pass it as `after` for the next page; null on the last")


class ResolvedItem(BaseModel):
    """One id and its URL."""

    id: str = Field(examples=[ID])
    presigned_url: str
    expires_at: str = Field(examples=[TIME])


class ResolvedIds(BaseModel):
    """The ids in the order they were asked for."""

    media: list[ResolvedItem]


class ResolvedPayload(BaseModel):
    """The payload with every id replaced by its URL."""

    payload: Any


class Presigned(BaseModel):
    """A fresh download URL."""

    id: str = Field(examples=[ID])
    url: str
    expires_in: int = Field(description="Seconds", examples=[300])


class Post(BaseModel):
    """A form upload: all fields, then the file."""

    url: str
    fields: dict[str, str]


class PreparedUpload(BaseModel):
    """An id that waits for its bytes, and the ways to send them."""

    jan_id: str = Field(examples=[ID])
    id: str = Field(examples=[ID], description="The same as jan_id")
    presigned_url: str = Field(description="PUT the bytes here, with Content-Type: mime_type")
    upload_url: str = Field(description="The same as presigned_url")
    presigned_post: Post
    mime_type: str
    expires_in: int = Field(description="Seconds", examples=[900])


class Usage(BaseModel):
    """What the caller keeps. A file counts in full for each of its owners."""

    bytes: int
    files: int
    quota_bytes: int = Field(description="The most that may be kept; 0 if there is no limit")
    quota_files: int = Field(description="The most that may be kept; 0 if there is no limit")


class GuestToken(BaseModel):
    """A token for a new guest."""

    access_token: str
    token_type: str = Field(examples=["Bearer"])
    expires_in: int = Field(description="Seconds")
    user_id: str


class ErrorDetail(BaseModel):
    """What went wrong, for programs (code) and people (message)."""

    type: str
    code: str
    message: str
    param: str | None = Field(description="The part of the request to blame")


class Error(BaseModel):
    """The one error shape."""

    error: ErrorDetail
